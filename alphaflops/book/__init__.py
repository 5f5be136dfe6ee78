"""From notebooks and runs to pages: the book, its PDF, a machine beside the paper's, a page for a colleague."""
