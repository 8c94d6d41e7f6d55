"""How good calls were: scores with evidence, what people say of them, satisfaction, trends and business measures."""
