"""Chinese text: identity and phone numbers, names behind a cue or before a title."""

from __future__ import annotations

import re

from privacy.scrub.recognise.checks import chinese_id, old_chinese_id
from privacy.scrub.recognise.finder import by_pattern

_ZH = ("zh",)
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余于杜叶程苏魏吕丁任"
    "沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔汤"
)
"""One character; some nine of ten people in China have one of these."""
_COMPOUND = "欧阳|上官|司马|诸葛|司徒|夏侯|皇甫"
_HAN = "\u4e00-\u9fff"
_FAMILY = f"(?:{_COMPOUND}|[{_SURNAMES}])"

CHINESE = (
    by_pattern(
        "ID_CARD",
        r"(?<![0-9A-Za-z])\d{17}[\dXx](?![0-9A-Za-z])",
        "region, date of birth and check digit (GB 11643)",
        check=chinese_id,
        languages=_ZH,
        needs=r"\d{17}",
        flags=re.ASCII,
    ),
    by_pattern(
        "ID_CARD",
        r"身份证[号码:\s为是]{0,5}(?P<value>\d{15})(?!\d)",
        "region and date of birth, behind a cue",
        check=old_chinese_id,
        languages=_ZH,
        needs="身份证",
        flags=re.ASCII,
    ),
    by_pattern(
        "PHONE",
        r"(?<![0-9A-Za-z.])(?:\+?86[ -]?)?1[3-9]\d(?:[ -]?\d{4}){2}(?!\d)",
        "form (mobile)",
        languages=_ZH,
        needs=r"1[3-9]\d",
        flags=re.ASCII,
    ),
    by_pattern(
        "PHONE",
        r"(?<![0-9A-Za-z.-])(?:\+86[ -]?)?(?:\(0\d{2,3}\)[ -]?|0\d{2,3}[ -])\d{7,8}(?![\d-])",
        "form (landline)",
        languages=_ZH,
        needs=r"0\d\d",
        flags=re.ASCII,
    ),
    by_pattern(
        "NAME",
        rf"(?:姓名|联系人|收件人|收货人|户名|患者|我叫|名叫|我是)[:\s为是]{{0,3}}(?P<value>{_FAMILY}[{_HAN}]{{1,2}})"
        rf"(?![{_HAN}])",
        "behind a cue",
        languages=_ZH,
        needs="[姓人名者叫是]",
    ),
    by_pattern(
        "NAME",
        rf"(?P<value>{_FAMILY}[{_HAN}]{{1,2}})(?:先生|女士|小姐)",
        "before a form of address",
        languages=_ZH,
        needs="[生士姐]",
    ),
    by_pattern(
        "NAME",  # inside a sentence these follow other words than names: 高级教授 is a senior professor
        rf"(?<![{_HAN}])(?P<value>{_FAMILY}[{_HAN}]{{1,2}})(?:老师|医生|教授|经理|主任|律师)",
        "before a title",
        languages=_ZH,
        needs="[师授理任生]",
    ),
)
