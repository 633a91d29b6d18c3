"""The switch of languages: the address decides, then what was chosen in this tab, then the browser."""

from __future__ import annotations

import streamlit as st

from dashboards.address import LANGUAGE, name_language
from harness.base.language import LANGUAGES, language, preferred, speak

_KEY, _CHOSEN = "language-switch", "language"
SWITCH_STYLE = """
.st-key-language { position: fixed; top: .55rem; right: 3.5rem; width: auto; z-index: 999991; }
"""  # in the bar of the menu: on every page at the same place, without a line of its own


def speak_chosen() -> None:
    """Let this run of a page speak its language."""
    own = preferred(st.context.locale)
    asked = st.query_params.get(LANGUAGE)
    chosen = asked if asked is not None and asked in LANGUAGES else str(st.session_state.get(_CHOSEN, own))
    st.session_state[_CHOSEN] = chosen
    speak(chosen)
    name_language(chosen if chosen != own or asked else "")
    if chosen != own and asked != chosen:  # the menu of pages leaves it out
        st.query_params[LANGUAGE] = chosen


def switch() -> None:
    """Draw the switch; it works from the next run on."""
    st.session_state[_KEY] = language()
    with st.container(key="language"):
        st.segmented_control(
            "Language · 语言",
            list(LANGUAGES),
            format_func=LANGUAGES.__getitem__,
            required=True,
            key=_KEY,
            on_change=_choose,
            label_visibility="collapsed",
        )
        # screen readers, and browsers that offer to translate, go by it; nothing but a code of ours is in this script
        script = f"<script>document.documentElement.lang = {language()!r}</script>"
        st.html(script, unsafe_allow_javascript=True)


def _choose() -> None:
    st.query_params[LANGUAGE] = str(st.session_state[_KEY])
