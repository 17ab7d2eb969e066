"""Entry point of the dashboard: `recurlens dashboard`, or `streamlit run dashboards/app.py`."""

import streamlit as st

from dashboards.trajectory.page import trajectory_page

st.set_page_config(page_title="recurlens", page_icon="🔁", layout="wide")
st.navigation([st.Page(trajectory_page, title="Trajectory", url_path="trajectory", default=True)]).run()
