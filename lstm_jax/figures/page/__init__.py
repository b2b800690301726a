"""A sweep as one page for a browser: its values, its charts, and the file that holds them."""
