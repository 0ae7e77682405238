"""A plugin of the user's own, written from templates: what `bench new-plugin` leaves in a folder."""
