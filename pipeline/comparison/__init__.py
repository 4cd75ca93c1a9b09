"""Finished runs side by side: what each one changed, and what that did."""
