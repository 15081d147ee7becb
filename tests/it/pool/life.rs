//! The pool seen through the program: workspaces of landed tasks come back, and nobody has to know.
