"""Parts that pages share, drawn with Streamlit: what is chosen, asked or switched."""
