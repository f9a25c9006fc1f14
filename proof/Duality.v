(* SPDX-License-Identifier: Apache-2.0 *)
(** What prices say of loads and of the optimum's value. *)
From Coq Require Import Reals Arith Lra Lia.
From Thermoe Require Import ProblemStatement Sums Entropy Convexity Optimality.
Open Scope R_scope.

Theorem loads_fall_with_prices : Loads_fall_with_prices.
Proof.
  intros p b c x y [Hx Mx] [Hy My]. pose proof (Mx y Hy) as X. pose proof (My x Hx) as Y.
  unfold objective in X, Y. simpl in X, Y. change (loads (priced p b)) with (loads p) in X.
  change (loads (priced p c)) with (loads p) in Y. unfold paid in *.
  rewrite (sum2_ext _ _ _ (fun l e =>
    (b l e * loads p x l e - b l e * loads p y l e) - (c l e * loads p x l e - c l e * loads p y l e)))
    by (intros; unfold difference; ring).
  rewrite !sum2_minus. lra.
Qed.

(** The least value of -z x + entropy x over [0, 1] is at x = σ(z). *)
Lemma fermi_value z : entropy (sigma z) - z * sigma z = - ln (1 + exp z).
Proof.
  pose proof (sigma_range z) as Hs. rewrite <- (logit_sigma z) at 2. rewrite (logit_difference _ Hs).
  unfold entropy. replace (1 + exp z) with (/ (1 - sigma z)).
  - rewrite ln_Rinv by lra. ring.
  - unfold sigma. rewrite exp_Ropp. pose proof (exp_pos z). field. repeat split; lra.
Qed.

Lemma entropy_conjugate z x : 0 <= x <= 1 -> - ln (1 + exp z) <= entropy x - z * x.
Proof.
  intros Hx. pose proof (entropy_gap x (sigma z) Hx (sigma_range z)) as G. rewrite logit_sigma in G.
  rewrite <- fermi_value. lra.
Qed.

Theorem dual_bounds_primal : Dual_bounds_primal.
Proof.
  intros p x b mu conjugate Hw Htau Hx Hc. pose proof (Hc _ (loads_in_range p x Hx)) as C.
  rewrite (prices_by_row p b x Hw) in C. unfold objective.
  enough (- sum (rows p) (fun i => mu i * k p i + tau p * sum (experts p) (fun e =>
      if own p i e then ln (1 + exp ((u p i e - b (layer p i) e - mu i) / tau p)) else 0)) <=
    sum2 (rows p) (experts p) (fun i e =>
      (-1) * (u p i e * x i e) + (tau p * entropy (x i e) + b (layer p i) e * x i e))) as E
    by (rewrite !sum2_plus, !sum2_scale in E; lra).
  rewrite <- (Rmult_1_l (sum (rows p) _)), Ropp_mult_distr_l, <- sum_scale.
  apply sum_le. intros i Hi. destruct (Hx i Hi) as [Sum Bounds].
  rewrite <- Sum, <- (sum_scale (experts p) (mu i)), <- (sum_scale (experts p) (tau p)), <- sum_plus, <- sum_scale.
  apply sum_le. intros e He. destruct (Bounds e He) as [Rx Zx]. destruct (own p i e).
  - set (v := u p i e - b (layer p i) e - mu i).
    pose proof (entropy_conjugate (v / tau p) (x i e) Rx) as Q.
    apply (Rmult_le_compat_l (tau p)) in Q; [| lra].
    replace (tau p * (entropy (x i e) - v / tau p * x i e)) with (tau p * entropy (x i e) - v * x i e) in Q
      by (field; lra).
    unfold v in *. lra.
  - rewrite Zx by reflexivity. unfold entropy. rewrite Rminus_0_r, ln_1. lra.
Qed.
