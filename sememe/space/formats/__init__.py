"""Files of word vectors, in and out: one file for each format, none of which ever opens a pickle."""
