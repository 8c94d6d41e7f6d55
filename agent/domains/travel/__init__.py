"""The demo backend of Larkspur Travel, an agency for flights and hotels."""
