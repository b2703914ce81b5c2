"""The parts of the drawn demo pictures; `make_demo.py` puts them together."""
