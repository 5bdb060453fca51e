"""What is added to a lens: external shear and convergence, multipoles."""
