"""How a model continues a training text: how likely word for word when sampled, and how nearly in what it wrote."""
