(* SPDX-License-Identifier: Apache-2.0 *)
(** Prices as subgradients, and what the form (4) is sufficient for. *)
From Coq Require Import Reals Arith Lra Lia FunctionalExtensionality.
From Thermoe Require Import ProblemStatement Sums Entropy Convexity.
Open Scope R_scope.

(** A convex function that never falls has no falling slope. *)
Lemma slope_nonneg f s g : nondecreasing f -> slope everywhere f s g -> 0 <= g.
Proof. intros Hup Hg. pose proof (Hg (s - 1) I). pose proof (Hup (s - 1) s ltac:(lra)). lra. Qed.

Theorem prices_are_subgradients : Prices_are_subgradients.
Proof.
  intros p count r n g s Hcost H y Hy. rewrite !Hcost. unfold hardware, paid, difference.
  rewrite (sum2_ext _ _ _ (fun l e => sum count (fun j => weight (r j) * g j * (s j l e * (y l e - n l e))))).
  2: { intros. rewrite Rmult_comm, <- sum_scale. apply sum_ext. intros. ring. }
  rewrite sum2_sum, <- sum_plus. apply sum_le. intros j Hj.
  destruct (H j Hj) as ((Hw & _ & Hup & _) & Hg & Hs). rewrite sum2_scale.
  pose proof (Hg (use p (r j) y) I) as G. pose proof (slope_nonneg _ _ _ Hup Hg) as Pos.
  assert (sum2 (layers p) (experts p) (fun l e => s j l e * (y l e - n l e)) <=
          use p (r j) y - use p (r j) n) as U.
  { unfold use.
    enough (sum2 (layers p) (experts p) (fun l e => s j l e * (y l e - n l e)) <=
            sum2 (layers p) (experts p) (fun l e => unit_cost (r j) l e (y l e) - unit_cost (r j) l e (n l e)))
      as Q by (rewrite sum2_minus in Q; lra).
    apply sum2_le. intros l e Hl He. pose proof (Hs l e Hl He (y l e) (Hy l e Hl He)). lra. }
  apply (Rmult_le_compat_l _ _ _ Pos) in U.
  assert (phi (r j) (use p (r j) n) + g j * sum2 (layers p) (experts p) (fun l e => s j l e * (y l e - n l e)) <=
          phi (r j) (use p (r j) y)) as Q by lra.
  apply (Rmult_le_compat_l _ _ _ Hw) in Q. lra.
Qed.

(** * The form (4) is sufficient *)

(** A price of a load is a price of each entry of its layer's rows. *)
Lemma prices_by_row p b d : well_formed p ->
  paid p b (loads p d) =
  sum2 (rows p) (experts p) (fun i e => b (layer p i) e * d i e).
Proof.
  unfold well_formed, paid, loads. generalize (rows p) as m. induction m; intros Hw.
  - simpl. rewrite (sum2_ext _ _ _ (fun _ _ => 0 * 0)) by (intros; ring). rewrite sum2_scale. unfold sum2. simpl. ring.
  - simpl. rewrite (sum2_ext _ _ _ (fun l e =>
      b l e * sum m (fun i => if (layer p i =? l)%nat then d i e else 0) +
      b l e * (if (layer p m =? l)%nat then d m e else 0))) by (intros; ring).
    rewrite sum2_plus, IHm by (intros; apply Hw; lia).
    unfold sum2 at 2 3. simpl. fold (sum2 m (experts p) (fun i e => b (layer p i) e * d i e)). f_equal.
    rewrite <- (sum_pick (layers p) (layer p m) (fun l => sum (experts p) (fun e => b l e * d m e)))
      by (apply Hw; lia).
    apply sum_ext. intros l Hl. destruct (_ =? _)%nat; [reflexivity |].
    rewrite (sum_ext _ _ (fun _ => 0)) by (intros; ring). apply sum_zero.
Qed.

Lemma loads_minus p x y : difference (loads p y) (loads p x) = loads p (difference y x).
Proof.
  extensionality l. extensionality e. unfold difference, loads.
  rewrite (sum_ext _ (fun i => if (layer p i =? l)%nat then y i e - x i e else 0)
    (fun i => (if (layer p i =? l)%nat then y i e else 0) + (-1) * (if (layer p i =? l)%nat then x i e else 0)))
    by (intros; destruct (_ =? _)%nat; ring).
  rewrite sum_plus, sum_scale. ring.
Qed.

(** A row's threshold is paid alike by all that pick k. *)
Lemma thresholds_cancel p x y mu : feasible p x -> feasible p y ->
  sum2 (rows p) (experts p) (fun i e => mu i * (y i e - x i e)) = 0.
Proof.
  intros Hx Hy. unfold sum2. rewrite (sum_ext _ _ (fun _ => 0)); [apply sum_zero |].
  intros i Hi. rewrite sum_scale.
  rewrite (sum_ext _ _ (fun e => y i e + (-1) * x i e)) by (intros; ring).
  rewrite sum_plus, sum_scale, (proj1 (Hx i Hi)), (proj1 (Hy i Hi)). ring.
Qed.

(** By how much another feasible point is worse, entry by entry. *)
Definition excess (p : problem) (x b : matrix) (mu : nat -> R) (y : matrix) : matrix := fun i e =>
  - (u p i e - b (layer p i) e - mu i) * (y i e - x i e) + tau p * (entropy (y i e) - entropy (x i e)).

Lemma objective_excess p x b mu y :
  well_formed p -> feasible p x -> feasible p y -> subgradient p (loads p x) b ->
  objective p x + sum2 (rows p) (experts p) (excess p x b mu y) <= objective p y.
Proof.
  intros Hw Hx Hy Hb. pose proof (Hb _ (loads_in_range p y Hy)) as B.
  rewrite loads_minus, (prices_by_row p b _ Hw) in B. unfold difference in B.
  pose proof (thresholds_cancel p x y mu Hx Hy) as M.
  rewrite (sum2_ext _ _ (excess p x b mu y) (fun i e =>
    (-1) * (u p i e * y i e - u p i e * x i e) +
    (b (layer p i) e * (y i e - x i e) +
    (mu i * (y i e - x i e) + tau p * (entropy (y i e) - entropy (x i e))))))
    by (intros; unfold excess; ring).
  rewrite !sum2_plus, !sum2_scale, !sum2_minus, M. unfold objective. lra.
Qed.

(** At a point of form (4) an entry's excess is τ times its entropy's gap to the tangent. *)
Lemma fermi_excess p x b mu y i e :
  0 < tau p -> fermi p x b mu -> feasible p y -> (i < rows p)%nat -> (e < experts p)%nat ->
  0 <= excess p x b mu y i e /\ (excess p x b mu y i e = 0 -> x i e = y i e).
Proof.
  intros Htau Hf Hy Hi He. destruct (proj2 (Hy i Hi) e He) as [Ry Zy].
  pose proof (Hf i e Hi He) as E. unfold excess. destruct (own p i e).
  2: { rewrite E, Zy by reflexivity. split; [lra | reflexivity]. }
  set (z := (u p i e - b (layer p i) e - mu i) / tau p) in *.
  assert (u p i e - b (layer p i) e - mu i = tau p * logit (x i e)) as ->
    by (rewrite E, logit_sigma; unfold z; field; lra).
  assert (0 < x i e < 1) as Rx by (rewrite E; apply sigma_range).
  replace (- (tau p * logit (x i e)) * (y i e - x i e) + tau p * (entropy (y i e) - entropy (x i e)))
    with (tau p * (entropy (y i e) - entropy (x i e) - logit (x i e) * (y i e - x i e))) by ring.
  split.
  - apply Rmult_le_pos; [lra |]. now apply entropy_gap.
  - intros Z. destruct (Req_dec (x i e) (y i e)) as [Q | D]; [exact Q | exfalso].
    pose proof (entropy_above _ _ Ry Rx (not_eq_sym D)) as G.
    apply Rmult_integral in Z. lra.
Qed.

Theorem sufficiency : Sufficiency.
Proof.
  intros p x b mu Hw Htau Hx Hf Hb.
  assert (forall y, feasible p y -> objective p x + sum2 (rows p) (experts p) (excess p x b mu y) <= objective p y)
    as X by (intros; now apply objective_excess).
  assert (forall y i e, feasible p y -> (i < rows p)%nat -> (e < experts p)%nat -> 0 <= excess p x b mu y i e)
    as P by (intros; now apply fermi_excess).
  split; [split; [exact Hx |] |].
  - intros y Hy. pose proof (X y Hy).
    assert (0 <= sum2 (rows p) (experts p) (excess p x b mu y))
      by (apply sum_nonneg; intros; apply sum_nonneg; intros; now apply P). lra.
  - intros y [Hy My] i e Hi He. pose proof (X y Hy). pose proof (My x Hx).
    apply (fermi_excess p x b mu y i e Htau Hf Hy Hi He).
    apply (sum2_vanishes (rows p) (experts p)); auto. lra.
Qed.

Theorem hard_sufficiency : Hard_sufficiency.
Proof.
  intros p x b mu Hw Htau Hx Hh Hb. split; [exact Hx |]. intros y Hy.
  pose proof (objective_excess p x b mu y Hw Hx Hy Hb).
  assert (0 <= sum2 (rows p) (experts p) (excess p x b mu y)); [| lra].
  apply sum_nonneg; intros i Hi. apply sum_nonneg; intros e He.
  destruct (proj2 (Hy i Hi) e He) as [Ry Zy], (proj2 (Hx i Hi) e He) as [_ Zx].
  unfold excess. rewrite Htau. destruct (own p i e) eqn:O.
  2: { rewrite Zx, Zy by reflexivity. lra. }
  destruct (Hh i e Hi He O) as [One Zero].
  destruct (Rtotal_order (u p i e - b (layer p i) e) (mu i)) as [L | [E | G]].
  - rewrite (Zero L). nra.
  - rewrite E. lra.
  - rewrite (One G). nra.
Qed.

Theorem equal_prices_change_nothing : Equal_prices_change_nothing.
Proof.
  intros p x b c mu H i e Hi He. rewrite (H i e Hi He).
  replace (u p i e - (b (layer p i) e + c (layer p i)) - (mu i - c (layer p i)))
    with (u p i e - b (layer p i) e - mu i) by ring.
  reflexivity.
Qed.
