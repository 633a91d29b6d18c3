"""Entry of the dashboard: `assay dashboard` serves it; `streamlit run dashboards/app.py` does too."""

from __future__ import annotations

import streamlit as st

st.set_page_config(page_title="Assay", page_icon="⚖️", layout="wide")
st.navigation(
    [
        st.Page("screens/audits.py", title="Audits", icon=":material/list:", url_path="audits", default=True),
        st.Page("screens/audit.py", title="Audit", icon=":material/gavel:", url_path="audit"),
        st.Page("screens/rows.py", title="Rows", icon=":material/table_rows:", url_path="rows"),
    ]
).run()
