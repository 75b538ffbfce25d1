"""Other people's vector search, asked the same questions as ours: `libraries` answer with row numbers, `engines` also
fetch the text of each hit. `running` runs one at a time in a process of its own and looks for the least effort that
finds enough."""
