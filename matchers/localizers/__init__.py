"""The readings by which the authors of matchers get points from a correlation or a flow."""
