//! The cache as a whole: fetches are held back by the tests.
