"""The bundled small networks, trained from scratch on `shapes`, and the programs that train them."""
