"""How much are synthetic images worth? A sweep over patients, replicates and variants."""
