"""The tests of colad_ops: README.md says which question is answered in which folder."""
