"""The waist: what crosses between rooms and what a plug-in is written against. Few, small, frozen, typed objects."""
