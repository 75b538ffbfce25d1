"""An encoder and a store under one name. The class is in `sememe.collection.collection`."""
