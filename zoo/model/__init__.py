"""The contract of components, the tasks and the model that holds one of each."""
