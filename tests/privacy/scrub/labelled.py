"""Hand-made texts in which every value is marked {KIND:value}; all are made up, reserved or published."""

from __future__ import annotations

import re

ENGLISH = (
    "Write to {EMAIL:ada.lovelace+math@example.co.uk} or {EMAIL:bob_99@mail.example.com}, not info at example dot com.",
    "Call me at {PHONE:(212) 555-0142} or {PHONE:212-555-0187}; from abroad {PHONE:+1 212 555 0199}.",
    "London office: {PHONE:+44 20 7946 0958}. Berlin: {PHONE:+49 30 23125 555}.",
    "Phone: {PHONE:555 0134}, fax {PHONE:555-0155}.",
    "Card {CARD:4111 1111 1111 1111}, then {CARD:378282246310005} and {CARD:5555-5555-5555-4444}, expires 12/29.",
    "Not a card: 4111 1111 1111 1112, order 1234567890123, serial 0000000000000000.",
    "IBAN {IBAN:DE89 3704 0044 0532 0130 00} and {IBAN:GB82WEST12345698765432} but not GB82WEST12345698765431.",
    "SSN {SSN:078-05-1120}; the part number 000-12-3456 is none and neither is 2020-05-1120.",
    "Logged in from {IP:203.0.113.7} and {IP:2001:db8::8a2e:370:7334}, not 127.0.0.1, 1.2.3.4.5, 10:30 or a::b.",
    "Dear Mr. {NAME:Abernathy}, Dr {NAME:Grace Hopper} and Ms. {NAME:Jane Q. Public} will join.",
    "My name is {NAME:Harold Finch} and I live here. Name: {NAME:Samantha Groves}",
    "The meeting with {NAME:John Reese} was moved; {NAME:Lionel Fusco} could not come.",
    "In 2019-2020 revenue rose 3.14159 % to $1,234,567,890,123.45, see section 4.2.1.7 and ISBN 978-3-16-148410-0.",
    "The train leaves at 10:45, platform 12, seat 48, fare 129-99; population 8804190.",
    "Version 10.0.19045 shipped on 2021-11-16 with build number 20211116.1234.",
    "Her extension is 4411; the invoice total was 212,555.0142 dollars.",
    "Mail {EMAIL:a@b.io}, {EMAIL:first.last@sub.domain.example.org}. Twitter: @handle, cost@each is 5.",
    "Room 415-555 is free; chapter 12-34-5678 of the code; part 12-345-6789.",
)
CHINESE = (
    "身份证号码：{ID_CARD:11010519491231002X}，电话{PHONE:13912345678}。",
    "请联系{NAME:王小明}先生，手机 {PHONE:138 0013 8000} 或座机{PHONE:010-62345678}。",
    "收件人：{NAME:李雷}，邮箱{EMAIL:lilei@example.cn}，地址朝阳区某路１２号。",
    "姓名：{NAME:欧阳娜娜}，卡号{CARD:6228 4800 1234 5678 903}",
    "银行卡{CARD:6222020200112230}，有效期12/29。",
    "全角号码{PHONE:１３９１２３４５６７８}也算。",
    "订单号20231105123456789，金额1350元，共13个。",
    "不是身份证：110105194912310021，也不是110105199913310026。",
    "电话{PHONE:+86 13800138000}转8001。",
    "我叫{NAME:韩梅梅}，今年十二岁。",
    "昨天{NAME:赵敏}和{NAME:周芷若}一起去了北京。",
    "旧身份证{ID_CARD:110105491231002}已作废。",
    "王先生的房间在1308，李白是唐代诗人。",
    "产品编号1391234567，热线4008123123，邮编100025。",
)
_MARK = re.compile(r"\{([A-Z_]+):([^{}]+)\}")


def unmarked(marked: str) -> tuple[str, set[tuple[str, str]]]:
    """The text, and (kind, value) of what is marked in it."""
    return _MARK.sub(lambda mark: mark[2], marked), {(mark[1], mark[2]) for mark in _MARK.finditer(marked)}
