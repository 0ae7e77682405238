"""AP-10K (Yu et al., 2021) as a correspondence benchmark, with one list of pairs that everybody can make."""
