"""Studies stand beside the library and import it; nothing imports them."""
