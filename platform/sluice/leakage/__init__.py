"""The proof that every feature is known when the question is asked, read off the Ibis expression."""
