"""Figures, the page and final_info.json."""
