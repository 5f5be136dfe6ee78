"""The book: notebooks run by papermill, pages built by Jupyter Book."""
