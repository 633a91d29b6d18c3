"""Who looks at the dashboard, what they may do, and what they did."""
