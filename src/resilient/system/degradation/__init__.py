"""How an application steps back: features, freezes, reactions, what an answer says of itself."""
