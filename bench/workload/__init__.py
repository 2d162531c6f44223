"""The batch that everything is measured on, and what each operator has to move and to compute on it."""
