"""From the wire to the books: subscribe, decode, screen, batch, write, book, acknowledge."""
