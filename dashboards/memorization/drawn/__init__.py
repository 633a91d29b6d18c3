"""What a training kept, drawn with Streamlit: views of any rows of their shape, and what is of a whole audit."""
