"""Which codes a discrete model uses, how they follow each other, and what setting one does."""
