"""One self-contained HTML page of a comparison: tables, curves, costs, cards, pictures, provenance."""
