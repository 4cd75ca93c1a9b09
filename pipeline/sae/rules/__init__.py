"""The activation rules a dictionary can be trained with, one signature."""
