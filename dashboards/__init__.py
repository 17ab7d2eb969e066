"""The Streamlit app: `app.py` lists the pages; each page is a folder or file of its own."""
