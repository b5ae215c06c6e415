"""Questions put to components, whether or not anybody calls them."""
