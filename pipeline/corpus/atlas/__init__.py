"""Real countries: pages of the World Factbook, questions about them, and news as general text."""
