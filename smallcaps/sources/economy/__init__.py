"""The economy by vintage: what FRED's archive says was known when, and when it came out."""
