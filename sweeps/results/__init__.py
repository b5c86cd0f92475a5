"""Tables, figures, story and page of a sweep."""
