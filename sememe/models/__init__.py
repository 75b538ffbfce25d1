"""Models as files: the catalogue, where a model's files come from, what its folder says, its weights."""
