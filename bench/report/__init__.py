"""Tables, CSV files, pictures, goals, and the tables of ROOFLINE.md."""
