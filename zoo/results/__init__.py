"""Result rows: their schema and their files."""
