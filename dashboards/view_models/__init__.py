"""What pages show, as plain tables, texts and drawings; pure, and tested without Streamlit."""
