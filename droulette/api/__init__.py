"""What `import droulette as dr` offers."""
