"""The page of ``gqn-zoo view``: the state of one visitor, what is rendered of it, and the viser page that shows it."""
