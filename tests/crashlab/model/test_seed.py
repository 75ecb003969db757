from crashlab.model.seed import rng_for, subseed


def test_a_sub_seed_is_the_same_for_ever():
    assert subseed(1, "workload", 0) == 9344362274475658343
    assert rng_for(1, "workload", 0).random() == rng_for(1, "workload", 0).random()


def test_fields_do_not_run_into_each_other():
    assert subseed(1, "ab", "c") != subseed(1, "a", "bc")
    assert subseed(12, "3") != subseed(1, "23")


def test_sub_seeds_spread_over_sixty_four_bits():
    seeds = {subseed(1, number) for number in range(2000)}
    assert len(seeds) == 2000
    assert max(seeds).bit_length() == 64
